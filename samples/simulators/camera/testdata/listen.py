"""Listens for Hello and Bye with the PyPI package WSDiscovery, and writes a line
for each: the word, the endpoint reference, the XAddrs. Then it searches once, and
after that it listens until its input ends."""

import sys

from wsdiscovery import QName
from wsdiscovery.discovery import ThreadedWSDiscovery

NVT = QName("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter")
OTHER = QName("http://schemas.xmlsoap.org/ws/2006/02/devprof", "Device")


def say(*words):
    print(*words, flush=True)


discovery = ThreadedWSDiscovery()
discovery.setRemoteServiceHelloCallback(lambda service: say("hello", service.getEPR(), *service.getXAddrs()))
discovery.setRemoteServiceByeCallback(lambda epr: say("bye", epr))
discovery.start()
for service in discovery.searchServices(types=[NVT], timeout=2):
    say("found", service.getEPR(), *service.getXAddrs())
for service in discovery.searchServices(types=[OTHER], timeout=1):
    say("found-other", service.getEPR())
say("listening")
sys.stdin.read()
discovery.stop()
