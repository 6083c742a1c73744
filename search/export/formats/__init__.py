"""The formats of an exported folder: what each can hold, and how a folder of each is written, read and used."""
