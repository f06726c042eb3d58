"""Every sentence a client can read, written once.

`AmqpError` is the one exception for a broken rule. It carries what a Close frame needs: reply code, reply text, and
whether it ends the channel or the whole connection. It is raised anywhere below and caught in one place only
(`session/connection.py`), which turns it into `channel.close` or `connection.close` and fills in the class and method
of the offender.

Reply texts are `NAME - explanation`, or the bare NAME where there is no explanation, as RabbitMQ writes them
(rabbit_binary_generator / rabbit_misc:protocol_error). Constructors below are grouped by AMQP class and hold
RabbitMQ's exact texts.
"""

from leveret.errors.access import *
from leveret.errors.declarations import *
from leveret.errors.kinds import *
from leveret.errors.messages import *
from leveret.errors.protocol import *
