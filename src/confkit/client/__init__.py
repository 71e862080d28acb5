"""What an application holds: clients, meetings, the operations by hand."""
