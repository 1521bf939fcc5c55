"""The fastest form of each CPU convolution, by JAX version and processor. `experiments.tools.choose_convs --write` writes this file."""

TABLES: dict[str, dict[str, dict[str, str]]] = {
    "0.10 avx512_bf16": {
        "float32 strided few-many": {
            "forward": "conv",
            "transpose": "matrix",
            "weight": "blocks",
        },
        "float32 strided many-many": {
            "forward": "conv",
            "transpose": "matrix",
            "weight": "conv",
        },
        "float32 strided many-few": {
            "forward": "conv",
            "transpose": "blocks",
            "weight": "conv",
        },
        "float32 strided few-few": {
            "forward": "blocks",
            "transpose": "matrix",
            "weight": "conv",
        },
        "float32 dense few-many": {
            "forward": "matrix",
            "transpose": "matrix",
            "weight": "conv",
        },
        "float32 dense many-many": {
            "forward": "conv",
            "transpose": "conv",
            "weight": "conv",
        },
        "float32 dense many-few": {
            "forward": "conv",
            "transpose": "conv",
            "weight": "conv",
        },
        "float32 dense few-few": {
            "forward": "blocks",
            "transpose": "matrix",
            "weight": "conv",
        },
        "bfloat16 strided few-many": {
            "forward": "conv",
            "transpose": "conv",
            "weight": "conv",
        },
        "bfloat16 strided many-many": {
            "forward": "matrix",
            "transpose": "conv",
            "weight": "taps",
        },
        "bfloat16 strided many-few": {
            "forward": "conv",
            "transpose": "blocks",
            "weight": "conv",
        },
        "bfloat16 strided few-few": {
            "forward": "blocks",
            "transpose": "conv",
            "weight": "conv",
        },
        "bfloat16 dense few-many": {
            "forward": "conv",
            "transpose": "conv",
            "weight": "conv",
        },
        "bfloat16 dense many-many": {
            "forward": "conv",
            "transpose": "conv",
            "weight": "conv",
        },
        "bfloat16 dense many-few": {
            "forward": "conv",
            "transpose": "conv",
            "weight": "conv",
        },
        "bfloat16 dense few-few": {
            "forward": "blocks",
            "transpose": "conv",
            "weight": "conv",
        },
    },
    "0.12 avx512_bf16": {
        "bfloat16 strided few-many": {
            "forward": "blocks",
            "transpose": "conv",
            "weight": "blocks",
        },
        "bfloat16 strided many-many": {
            "forward": "matrix",
            "transpose": "phases",
            "weight": "taps",
        },
    },
}
