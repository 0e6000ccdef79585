"""The machine: plan, store, scheduler, executors, command line."""
