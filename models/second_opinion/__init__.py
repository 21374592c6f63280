"""The heavier second opinion: a self-supervised speech model with a Conformer head, asked only about suspected calls.

Needs the extra `ssl`. Nothing outside this folder imports it unless a recipe or an option asks for it.
"""
