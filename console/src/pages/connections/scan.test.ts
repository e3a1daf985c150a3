import { expect, test } from 'vitest';

import type * as calls from '../../api/calls';
import { masking } from './ScanConnection';

const found = (column: string, kind: string): calls.ColumnFound => ({ schema: 'public', table: 'people', column, type_name: 'text', kind, rows: 2, hits: 1, by_name: false });

test('what is confirmed is a part of a rule file, whatever names say', () => {
  expect(masking([found('ssn', 'ssn'), found('first', 'name'), found('a"]}, mode: clear', 'name')])).toBe(
    'masking:\n  columns:\n    - {kind: ssn, columns: ["public.people.ssn"]}\n    - {kind: name, columns: ["public.people.first", "public.people.a\\"]}, mode: clear"]}',
  );
});
