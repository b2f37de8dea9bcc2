"""
The commands of `sse-relay`, each in a file of its own.

::

    app.py            what may be typed: options, help
    exits.py          exit codes, and what an error looks like
    interrupts.py     Ctrl-C while a command is being loaded
    demo.py           the demo; needs no typer
    tail.py           follow a stream; following.py: where its events come from; progress.py: the line below them
    listing.py        which runs there are
    show.py           one run; story.py reads its log, timeline.py draws it
    ending.py         cancel, wait
    doctor.py         what is wrong with a store; stream_check.py: with a stream over HTTP
    store_url.py      which store is meant
    screen.py         a terminal, or a pipe
    spans.py          10m ⇄ seconds
"""
