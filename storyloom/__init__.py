"""Finished datasets: the format, readers, checks, figures and exports. No torch at import, no ray, no stages."""
