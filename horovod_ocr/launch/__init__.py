"""Several hosts: `hosts` (hosts.txt), `ssh`, `probe` and `doctor` (can they train?), `supervise` (training goes on)."""
