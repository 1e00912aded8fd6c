"""The exercises of the chapters: one module a chapter, each with a list EXERCISES.
`tootlearn.teaching.exercises` finds them.
"""
