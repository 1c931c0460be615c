/** Kamailio as a carrier's registrar: it asks for a password by digest, and puts calls through to whoever is registered. */
import { KamailioProgram, modulesFolder } from './kamailioProgram.js';

export interface KamailioRegistrarPlan {
  readonly address: string;
  readonly port: number;
  readonly realm: string;
  readonly user: string;
  readonly password: string;
  /** Granted at most. */
  readonly maxExpires: number;
}

export class KamailioRegistrar extends KamailioProgram {
  static async start(plan: KamailioRegistrarPlan): Promise<KamailioRegistrar> {
    const { address, port } = plan;
    const ports = [
      ['udp', port],
      ['tcp', port],
    ] as const;
    return new KamailioRegistrar(await super.run({ configuration: configuration(plan), address, ports }));
  }

  /** Waits for a line such as `SAVED line7 300`. */
  async printed(pattern: RegExp, from = 0): Promise<void> {
    await this.endpoint.printed(pattern, 10_000, from);
  }
}

const configuration = ({
  address,
  port,
  realm,
  user,
  password,
  maxExpires,
}: KamailioRegistrarPlan): string => `#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
alias="${realm}"
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
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("registrar", "max_expires", ${maxExpires})
modparam("registrar", "min_expires", 30)

request_route {
  if (!mf_process_maxfwd_header("10")) {
    sl_send_reply("483", "Too Many Hops");
    exit;
  }
  if (is_method("REGISTER")) {
    if ($au != "${user}" || !pv_www_authenticate("${realm}", "${password}", "0")) {
      xlog("L_INFO", "CHALLENGED $tu\\n");
      auth_challenge("${realm}", "0");
      exit;
    }
    save("location");
    xlog("L_INFO", "SAVED $(ct{tobody.user}) $(ct{tobody.params})\\n");
    exit;
  }
  if (has_totag()) {
    if (loose_route()) t_relay();
    else if (is_method("ACK") && t_check_trans()) t_relay();
    exit;
  }
  if (is_method("CANCEL")) {
    if (t_check_trans()) t_relay();
    exit;
  }
  t_check_trans();
  record_route();
  if (!lookup("location")) {
    sl_send_reply("404", "Not registered");
    exit;
  }
  t_relay();
}
`;
