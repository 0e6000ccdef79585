"""calibrate: the null distribution of the corpus."""
