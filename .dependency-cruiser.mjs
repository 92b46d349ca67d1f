/** The arrows of the house: who may import whom. `npm run check` holds the code to them. */

const forbid = (name, comment, from, to) => ({ name, comment, severity: "error", from, to });

export default {
  forbidden: [
    forbid(
      "actions-know-only-the-contract",
      "Actions run on a runner and are clients of the node's contract; the rest of node-bin runs on database nodes.",
      { path: "^actions/" },
      { path: "^node-bin/", pathNot: "^node-bin/lib/contract/" },
    ),
    forbid(
      "the-contract-stands-alone",
      "Everybody imports the contract, so it imports nobody.",
      { path: "^node-bin/lib/contract/" },
      { path: "^(actions|node-bin|test)/", pathNot: "^node-bin/lib/contract/" },
    ),
    forbid(
      "decisions-do-no-io",
      "lib/cluster decides from what it is given; it knows the contract's words and nothing that acts.",
      { path: "^node-bin/lib/cluster/" },
      { pathNot: ["^node-bin/lib/cluster/", "^node-bin/lib/contract/", "node_modules/valibot"] },
    ),
    forbid(
      "adapters-do-not-know-what-they-are-used-for",
      "Adapters of AWS, MySQL, Orchestrator and other nodes' agents never import what is done with them.",
      { path: "^node-bin/lib/(aws|mysql|orchestrator|forwarder|agent-client)/" },
      { path: "^node-bin/lib/(agent|bootstrap|backup|failover|operation|binlog|coordination|lifecycle)/" },
    ),
    forbid("nobody-imports-scripts", "A script is where a program begins.", {}, { path: "^node-bin/[^/]+\\.ts$" }),
    forbid(
      "nobody-imports-tests",
      "The product does not know its tests.",
      { path: "^(actions|node-bin)/" },
      { path: "^test/" },
    ),
    forbid("no-circles", "A circle has no bottom to begin reading from.", {}, { circular: true }),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    exclude: { path: "/dist/" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
