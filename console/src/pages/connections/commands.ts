/** What people paste to use a connection. Names are safe in a shell by the gateway's rule (`hoop_model::name`). */
import type { Connection } from '../../api/calls';

export interface Command {
  label: string;
  text: string;
}

/** The usual local port of each protocol, as the command line picks it if it is free. */
const LOCAL_PORT: Record<string, number> = { postgres: 5432 };

/** What people reach by SSH: hosts, and programs on an agent's own machine. */
const BY_SSH = ['ssh', 'exec'];

/** What has pods. */
export const CLUSTER = 'kubernetes';

const CLIENT: Record<string, string> = { postgres: 'psql' };

export function commands(connection: Pick<Connection, 'name' | 'protocol'>): Command[] {
  const client = CLIENT[connection.protocol];
  if (BY_SSH.includes(connection.protocol)) return [{ label: 'Open a shell', text: `hoop ssh ${connection.name}` }];
  if (connection.protocol === CLUSTER) {
    return [
      { label: 'Add it to your kubeconfig', text: `hoop kube login ${connection.name}` },
      { label: 'Run kubectl', text: `hoop connect ${connection.name} -- kubectl get pods` },
    ];
  }
  return [
    ...(client ? [{ label: `Run ${client}`, text: `hoop connect ${connection.name} -- ${client}` }] : []),
    { label: 'Open a local port', text: `hoop connect ${connection.name}` },
  ];
}

/** Can it be opened in the browser? The gateway reads along then, which a rule may forbid. */
export function hasTerminal({ protocol, may_connect, needs }: Pick<Connection, 'protocol' | 'may_connect' | 'needs'>): boolean {
  return (BY_SSH.includes(protocol) || protocol === CLUSTER) && may_connect && !(needs ?? []).includes('end to end');
}

/** The forms for programs, with the usual local port: the command prints the real ones. */
export function forms(connection: Pick<Connection, 'name' | 'protocol' | 'default_database'>, person: string): Command[] {
  const port = LOCAL_PORT[connection.protocol];
  if (connection.protocol !== 'postgres' || port === undefined) return [];
  const database = connection.default_database ?? 'postgres';
  // Plain on the loopback alone: the command encrypts from there on.
  const place = `127.0.0.1:${port}/${encodeURIComponent(database)}`;
  const user = encodeURIComponent(person);
  return [
    { label: 'psql', text: `psql "host=127.0.0.1 port=${port} user=${quoted(person)} dbname=${quoted(database)} sslmode=disable"` },
    { label: 'URL', text: `postgresql://${user}@${place}?sslmode=disable` },
    { label: 'JDBC', text: `jdbc:postgresql://${place}?user=${user}&sslmode=disable` },
  ];
}

/** A value of a libpq connection string inside double quotes of a shell. */
function quoted(value: string): string {
  if (/^[A-Za-z0-9_.-]+$/.test(value)) return value;
  const libpq = `'${value.replace(/[\\']/g, '\\$&')}'`;
  return libpq.replace(/[\\"$`]/g, '\\$&');
}
