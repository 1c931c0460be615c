/** Kamailio as a record-routing proxy between others: UDP on one side, TCP on the other. */
import { KamailioProgram, modulesFolder } from './kamailioProgram.js';

export interface KamailioPlan {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Next hop of calls that come in over UDP; they leave over TCP. `host:port` */
  readonly overTcp: string;
  /** Next hop of calls that come in over TCP; they leave over UDP. */
  readonly overUdp: string;
  /**
   * Where a peer behind this proxy really is, by the host:port of its Contact, which only this proxy can reach: as a NAT
   * or a private network behind the last proxy.
   */
  readonly behind?: { readonly [contact: string]: string };
}

export class Kamailio extends KamailioProgram {
  /** Resolves when it listens on both transports. */
  static async start(plan: KamailioPlan): Promise<Kamailio> {
    const { address, port } = plan;
    const ports = [
      ['udp', port],
      ['tcp', port],
    ] as const;
    return new Kamailio(await super.run({ configuration: configuration(plan), address, ports }));
  }

  /** Requests that passed through, as `METHOD transport they came over`, ACK of failures left out. */
  get passed(): string[] {
    return [...this.output.matchAll(/PASSED (\w+ \w+)/g)].map((found) => found[1] ?? '');
  }

  /** Waits for a request to pass. */
  async saw(request: string): Promise<void> {
    await this.endpoint.printed(new RegExp(`PASSED ${request}`), 5000);
  }
}

/** Two sockets of different transports make rr insert two Record-Route fields, one a side (double record-routing). */
const configuration = ({ name, address, port, overTcp, overUdp, behind = {} }: KamailioPlan): string => `#!KAMAILIO
debug=2
log_stderror=yes
log_prefix="${name} "
children=1
tcp_children=1
auto_aliases=no
tcp_accept_no_cl=yes
listen=udp:${address}:${port}
listen=tcp:${address}:${port}
mpath="${modulesFolder()}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"

request_route {
  if (!mf_process_maxfwd_header("10")) {
    sl_send_reply("483", "Too Many Hops");
    exit;
  }
  if (has_totag()) {
    if (loose_route()) {
      xlog("L_INFO", "PASSED $rm $proto $ru\\n");
${Object.entries(behind)
  .map(
    ([contact, place]) =>
      `      if ($(ru{uri.host}) + ":" + $(ru{uri.port}) == "${contact}") $du = "sip:${place};transport=udp";`,
  )
  .join('\n')}
      t_relay();
    } else if (is_method("ACK")) {
      if (t_check_trans()) t_relay();
    } else {
      xlog("L_WARN", "ASTRAY $rm $proto $ru\\n");
      sl_send_reply("404", "Not here");
    }
    exit;
  }
  if (is_method("CANCEL")) {
    if (t_check_trans()) t_relay();
    exit;
  }
  t_check_trans();
  if (is_method("INVITE")) record_route();
  xlog("L_INFO", "PASSED $rm $proto $ru\\n");
  if ($proto == "udp") {
    $du = "sip:${overTcp};transport=tcp";
    $fs = "tcp:${address}:${port}";
  } else {
    $du = "sip:${overUdp}";
    $fs = "udp:${address}:${port}";
  }
  t_relay();
}
`;
