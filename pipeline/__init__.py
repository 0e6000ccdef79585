"""The machine: plan, part store, runners, command line."""
