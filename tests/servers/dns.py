"""A DNS server on loopback, over UDP, that answers from a dictionary: name to texts of TXT records.

A name that is not in it doesn't exist; one with no texts has other records: those of `mail` have
MX records, as "10 mail.example.org.". What it was asked is in `asked`. It can break, for some names
(`broken`: name to response code), or be silent.
"""

import socketserver
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset


class DnsServer(socketserver.ThreadingUDPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Question)
        self.zone = {}
        self.mail = {}
        self.asked = []
        self.broken = {}
        self.silent = False
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    @property
    def resolver(self):
        """Return a resolver that knows this server alone, and waits half a second at most."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.server_address[1]
        resolver.lifetime = 0.5
        return resolver


class Question(socketserver.BaseRequestHandler):
    def handle(self):
        packet, sock = self.request
        query = dns.message.from_wire(packet)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True)
        self.server.asked.append(name)
        if not self.server.silent:
            sock.sendto(self.answer(query, name).to_wire(max_size=65535), self.client_address)

    def answer(self, query, name):
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.server.broken:
            response.set_rcode(self.server.broken[name])
        elif name not in self.server.zone:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif query.question[0].rdtype == dns.rdatatype.MX:
            if exchanges := self.server.mail.get(name):
                records = dns.rrset.from_text(f"{name}.", 60, "IN", "MX", *exchanges)
                response.answer.append(records)
        elif query.question[0].rdtype != dns.rdatatype.TXT:
            pass
        elif texts := self.server.zone[name]:
            quoted = [f'"{text}"' for text in texts]
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", *quoted))
        return response
