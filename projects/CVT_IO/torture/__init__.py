"""What training and its files survive, tried at length: ``make torture``.

Each section is a module with one function, ``run(folder, full)``, which yields an outcome a trial.
"""

SECTIONS = ('resume', 'health', 'bad_data', 'fuzz', 'safety', 'processes', 'soak')
