"""The stages: one folder each, with config, contract and work. A stage knows neither Ray nor Parquet."""
