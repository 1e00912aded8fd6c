"""The command line: one file for each command, which reads options and calls the package.

Each file has `HELP`, one line; `add_arguments(parser)`, which adds the options; and `run(args)`.
What a command needs is imported in these functions, since torch takes seconds to import; options
that are fields of dataclasses come from modules `config`, which do not need torch. `main` makes one
tree of the commands, `parser` says what options look like, `options` and `training_options` hold
those that several commands share.

It may import every other folder, and none imports it.
"""

import time

# before the imports of a command, whose time a user waits too
STARTED = time.perf_counter()
