"""sound: the sound of each text of the documents."""
