"""Engine objects as the HTTP API shows them: one noun a file, pure functions from objects to JSON.

A view gets all it needs as arguments and knows no call, so that whoever shows an object shows it in the same way.
Fields and their names are RabbitMQ's (rabbit_mgmt_format, rabbit_mgmt_db).
"""
