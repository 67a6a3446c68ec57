"""How is measured: rounds, child processes, the machine, peers, reports."""
