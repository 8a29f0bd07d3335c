"""AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods (arXiv 2402.11215)."""

TITLE = "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods"
SOURCE = "arXiv 2402.11215"
