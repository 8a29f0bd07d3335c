"""AdaGrad under Anisotropic Smoothness (Liu, Pan, Zhang; arXiv 2406.15244, ICLR 2025)."""

TITLE = "AdaGrad under Anisotropic Smoothness"
SOURCE = "Liu, Pan, Zhang, arXiv 2406.15244 (ICLR 2025)"
