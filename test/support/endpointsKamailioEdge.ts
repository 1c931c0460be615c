/** Kamailio as a carrier's edge: TLS and WebSocket towards us, digest for calls that come in, UDP behind it. */
import { KamailioProgram, modulesFolder } from './kamailioProgram.js';

export interface KamailioEdgePlan {
  readonly address: string;
  /** UDP towards those behind it; TLS has the next port, WebSocket the one after. */
  readonly port: number;
  /** PEM files, of the edge, and of who may have signed ours. */
  readonly certificate: string;
  readonly key: string;
  readonly authorities: string;
  readonly realm: string;
  readonly password: string;
  /** `host:port` behind it: calls of the exchange go there. */
  readonly behind: string;
  /** The exchange's TLS listener, `host:port`: calls from behind go there. */
  readonly exchange: string;
}

export class KamailioEdge extends KamailioProgram {
  /** Resolves when it listens. */
  static async start(plan: KamailioEdgePlan): Promise<KamailioEdge> {
    const { address, port } = plan;
    const ports = [
      ['udp', port],
      ['tcp', port + 1],
      ['tcp', port + 2],
    ] as const;
    return new KamailioEdge(await super.run({ configuration: configuration(plan), address, ports, memory: [64, 8] }));
  }

  /** Requests that passed through, as `METHOD transport they came over`; `CHALLENGED METHOD` for those that did not. */
  get passed(): string[] {
    return [...this.output.matchAll(/(?:PASSED |(CHALLENGED ))(\w+ \w+)/g)].map(
      ([, challenged = '', what = '']) => challenged + what,
    );
  }
}

const configuration = (plan: KamailioEdgePlan): string => `#!KAMAILIO
debug=2
log_stderror=yes
log_prefix="edge "
children=1
tcp_children=1
auto_aliases=no
tcp_accept_no_cl=yes
enable_tls=yes
listen=udp:${plan.address}:${plan.port}
listen=tls:${plan.address}:${plan.port + 1}
listen=tcp:${plan.address}:${plan.port + 2}
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
loadmodule "auth.so"
loadmodule "nathelper.so"
loadmodule "tls.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"
modparam("tls", "certificate", "${plan.certificate}")
modparam("tls", "private_key", "${plan.key}")
modparam("tls", "ca_list", "${plan.authorities}")
modparam("tls", "verify_certificate", 0)
modparam("tls", "require_certificate", 0)
modparam("tls", "tls_method", "TLSv1.2+")

event_route[xhttp:request] {
  if ($hdr(Upgrade) =~ "websocket" && ws_handle_handshake()) exit;
  xhttp_reply("404", "Not Found", "", "");
}

request_route {
  if (!mf_process_maxfwd_header("10")) {
    sl_send_reply("483", "Too Many Hops");
    exit;
  }
  if (has_totag()) {
    if (loose_route()) {
      xlog("L_INFO", "PASSED $rm $proto\\n");
      handle_ruri_alias();
      t_relay();
    } else if (is_method("ACK")) {
      if (t_check_trans()) t_relay();
    } else {
      sl_send_reply("404", "Not here");
    }
    exit;
  }
  if (is_method("CANCEL")) {
    if (t_check_trans()) t_relay();
    exit;
  }
  if ($proto != "udp" && is_method("INVITE")) {
    if (!pv_proxy_authenticate("${plan.realm}", "${plan.password}", "0")) {
      xlog("L_INFO", "CHALLENGED $rm $proto\\n");
      proxy_challenge("${plan.realm}", "1");
      exit;
    }
    consume_credentials();
    # A WebSocket's client is reached by the connection that it opened, which the alias names.
    if ($proto == "ws") add_contact_alias();
  }
  t_check_trans();
  record_route();
  xlog("L_INFO", "PASSED $rm $proto\\n");
  if ($proto == "udp") {
    $du = "sip:${plan.exchange};transport=tls";
    $fs = "tls:${plan.address}:${plan.port + 1}";
  } else {
    $du = "sip:${plan.behind}";
    $fs = "udp:${plan.address}:${plan.port}";
  }
  t_relay();
}
`;
