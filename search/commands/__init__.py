"""The commands of the command line: each reads its arguments, makes one call and prints the result.

Imports of torch and Ray stand inside the commands, so that a mistake is refused in less than a second.
"""
