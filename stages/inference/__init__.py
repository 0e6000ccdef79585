"""Asking models: questions, answers and what is remembered of them, servers and models in this process."""
