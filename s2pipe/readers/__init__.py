"""Reading sets of patches and windows of samples as arrays, without PyTorch: where items lie, and in which order."""
