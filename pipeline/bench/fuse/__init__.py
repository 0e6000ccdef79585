"""How well the checks of fused texts tell good answers from bad ones, and what they refuse of published sets."""
