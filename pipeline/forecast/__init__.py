"""What a run will take and cost, from the first parts that it finished."""
