"""Many runs of one recipe: `plan` decides which runs share a program, `program` trains them, `outcome` ranks them, `page` shows them."""
