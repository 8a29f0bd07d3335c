"""Towards Practical Adam: Non-Convexity, Convergence Theory, and Mini-Batch Acceleration (arXiv 2101.05471)."""

TITLE = "Towards Practical Adam: Non-Convexity, Convergence Theory, and Mini-Batch Acceleration"
SOURCE = "arXiv 2101.05471"
