"""`rabbitmqadmin` over the HTTP API: the syntax of version 2, and that of version 1, distinguished by the arguments."""
