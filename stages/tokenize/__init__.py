"""tokenize: discrete visual tokens of the frames of documents."""
