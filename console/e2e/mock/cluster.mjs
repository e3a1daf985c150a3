/** A cluster: its connection, and a session with requests to its API, a shell in a pod, a file that was copied, a refused forward. */
import { session, statement } from './data.mjs';

export const CLUSTER = 'ses_clusterclusterclusterclus';

export function cluster(more = {}) {
  return {
    name: 'k8s-shop',
    description: 'The shop’s cluster',
    protocol: 'kubernetes',
    online: true,
    may_connect: true,
    break_glass: false,
    needs: [],
    ...more,
  };
}

export function clusterSession() {
  const over = { ended_at: '2026-11-22T11:20:00.000000Z', end_reason: 'closed by the client' };
  return { ...session(CLUSTER, 'ada', 'k8s-shop', 'ended', { requests: 5, rows: 0, bytes_out: 9_113, ...over }), protocol: 'kubernetes' };
}

export function clusterStatements() {
  const one = (id, seconds, form, text, more = {}) => statement(id, seconds, text, { form, duration_us: 12_000, ...more });
  return [
    one(1, 1, 'api', 'list pods in shop', {
      parameters: ['/api/v1/namespaces/shop/pods?limit=500'],
      tag: '200',
      copied_out: 61,
      output: '{"kind":"PodList","items":[{"metadata":{"name":"web-7f9c"}}]}',
    }),
    one(2, 9, 'api', 'patch deployments.apps web in shop', {
      parameters: ['/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl', 'spec.replicas = 3', 'metadata.annotations.<b>x</b> = 1'],
      tag: '200',
      copied_out: 2_400,
    }),
    one(3, 20, 'command', 'sh', { tag: 'exit 0', terminal: { columns: 100, rows: 30 } }),
    one(4, 40, 'write_file', '/tmp/report.csv', { tag: 'ok', copied_in: 4_120 }),
    one(5, 60, 'forward', 'web-7f9c:5432', { duration_us: null, denied: { code: 'HOOP-2042', message: 'forwarding is not allowed here' } }),
  ];
}
