"""What the chapters of the book use.

    listen              players at their own level, with a spectrogram and a printed fingerprint
    abx                 a blind listening test in a page
    widgets             dials that turn without a kernel, and a panel that plays toots
    check, exercises    answers to exercises, and the hints for known mistakes
    answers/            the exercises, one module a chapter
    notebooks           the chapters copied to a folder, JupyterLab, the rendered book
    myst_roles          MyST roles as plain text, for copied notebooks

Imports from every layer below it, and nothing imports from here but `cli`. `listen.listen` and
`check.check` are also `tootlearn.listen` and `tootlearn.check`.
"""
