"""Which version of everything is run."""

#: The packages whose tests are run. Newer pika and amqplib packages leave their tests out.
SUITES = {
    "pika": "1.3.2",
    "amqp": "5.4.2",
    "kombu": "5.7.0",
    "celery": "5.7.0",
    "aio-pika": "10.2.1",
    "aiormq": "7.2.4",
    "amqplib": "2.2.0",
    "amqpstorm": "3.1.4",
}

#: Clients of the management API (`conformance/tools`).
MANAGEMENT = {"pyrabbit2": "1.0.7", "flower": "2.2.0"}

#: Clients in Go.
GO_MODULES = {"github.com/michaelklishin/rabbit-hole/v3": "v3.5.0"}

#: What the suites are run with.
TOOLS = {
    "aiomisc": "18.0.37",
    "aiomisc-pytest": "2.0.0",
    "pytest": "8.4.2",
    "pytest-rerunfailures": "16.7",
    "pytest-timeout": "2.4.0",
    "pytest-subtests": "0.15.0",
}


def tools(*names: str) -> tuple[str, ...]:
    """Requirements for pip, pinned."""
    return tuple(f"{name}=={TOOLS[name]}" for name in names)
