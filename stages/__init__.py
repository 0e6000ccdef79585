"""The verbs: one file a stage, each with its config. A stage knows neither Ray nor Parquet."""
