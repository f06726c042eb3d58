"""AMQP errors with RabbitMQ's exact reply texts, one constructor for each.

`AmqpError` carries what a close frame needs: reply code, reply text, and whether it ends the channel or the connection.
Code at any level raises it; `Reader.receive` catches it in one place, and `Connection.refuse` sends channel.close or
connection.close with the class and method of the frame that caused it.

Reply texts are `NAME - explanation`, or the bare NAME without an explanation, as RabbitMQ writes them
(rabbit_binary_generator, rabbit_misc:protocol_error). Constructors are grouped by AMQP class. The reasons in
texts about x-arguments are next to their checks (`engine/arguments.py`).
"""

from leveret.errors.access import *
from leveret.errors.arguments import *
from leveret.errors.declarations import *
from leveret.errors.kinds import *
from leveret.errors.messages import *
from leveret.errors.protocol import *
