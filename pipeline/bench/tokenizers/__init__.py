"""What tokenizers of pictures cost and keep: `storyloom bench tokenizers`."""
