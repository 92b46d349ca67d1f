import packageJson from "../../../package.json" with { type: "json" };

/** The version of this project, one for actions, node scripts, Terraform and Puppet. */
export const version: string = packageJson.version;
