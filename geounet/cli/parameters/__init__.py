"""The options of the commands, each defined once: a room per panel of the help, or a few panels.

A command's signature has a line per option: `chip: learning.Chip = TrainOptions.chip`. The name is
that of the field that the option fills (see `collecting`); the room says what the user sees.
"""
