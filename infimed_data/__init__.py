"""Build versioned medical vision-language datasets from manifests, with every row accounted for."""

__version__ = "0.1.0"
