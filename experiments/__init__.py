"""Programs around the library: training, studies, benchmarks, tools."""
