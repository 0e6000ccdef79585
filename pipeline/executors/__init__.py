"""Executors: run units in this process, or on a Ray cluster."""
