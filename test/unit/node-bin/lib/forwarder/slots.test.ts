import { describe, expect, it } from "vitest";
import { expectDone } from "#node/lib/forwarder/runtime-socket.ts";
import { parseSlots } from "#node/lib/forwarder/slots.ts";

const header =
  "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";
const row = (server: string, address: string, operation: number, admin: number): string => {
  const [backend, name] = server.split("/");
  return `4 ${backend} 1 ${name} ${address} ${operation} ${admin} 1 1 9 15 3 15 6 0 0 0 - 3306 - 0 3320 - - 0\n`;
};

describe("HAProxy's list of servers", () => {
  it.each([
    ["no node in it, as configured", "0.0.0.0", 0, 0x05, { address: undefined, admin: "maint", healthy: false }],
    ["ready, checked well", "10.1.0.1", 2, 0x04, { address: "10.1.0.1", admin: "ready", healthy: true }],
    ["ready, answered something else than 200", "10.1.0.1", 3, 0x04, { admin: "ready", healthy: false }],
    ["ready, silent", "10.1.0.1", 0, 0x00, { admin: "ready", healthy: false }],
    ["drained", "10.1.0.1", 2, 0x0c, { admin: "drain", healthy: true }],
    ["in maintenance and drained", "10.1.0.1", 0, 0x0d, { admin: "maint" }],
  ])("%s", (_, address, operation, admin, expected) => {
    const [slot, ...others] = parseSlots(`${header}${row("write/n1", address, operation, admin)}\n`);
    expect(slot).toMatchObject({ backend: "write", name: "n1", ...expected });
    expect(others).toEqual([]);
  });

  it("has other servers too, which are not ours to set", () => {
    const text = `${header}${row("write/hold", "10.1.0.1", 2, 0)}${row("other/n1", "10.1.0.1", 2, 0)}${row("read/n2", "10.1.0.1", 2, 0)}`;
    expect(parseSlots(text).map(({ backend, name }) => `${backend}/${name}`)).toEqual(["read/n2"]);
  });

  it.each([
    ["nothing", ""],
    ["other columns", "1\n# be_id be_name\n"],
    ["something that is no number", `${header}${row("write/n1", "10.1.0.1", 2, 0).replace(" 2 0 ", " up 0 ")}`],
  ])("that holds %s is refused", (_, text) => {
    expect(() => parseSlots(text)).toThrow("HAProxy's list of servers");
  });
});

describe("HAProxy's answer to commands", () => {
  it.each([
    "\n\n",
    "IP changed from '0.0.0.0' to '10.1.0.1', no need to change the port by 'stats socket command'\n\n\n",
    "no need to change the addr by 'stats socket command'\n\n",
  ])("is one of having executed them", (answer) => {
    expect(() => expectDone(["x"], answer)).not.toThrow();
  });

  it.each(["No such server.\n\n", "\n\nPermission denied\n\n", "Unknown command, but maybe …\n"])(
    "is a complaint",
    (answer) => {
      expect(() => expectDone(["set server write/n1 state ready"], answer)).toThrow("set server write/n1 state ready");
    },
  );
});
