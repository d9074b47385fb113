/**
 * A server of ours that is online on this machine, as far as a check of its agent needs to know it.
 */
export interface LiveServer {
  readonly name: string;
  /**
   * Beginning of the full names of its tools, which differs between the plugin's server and one
   * from the user's own MCP configuration.
   */
  readonly toolPrefix: string | undefined;
  /** The process of the session it belongs to. */
  readonly agentPid: number | undefined;
  readonly conversation: string | undefined;
}
