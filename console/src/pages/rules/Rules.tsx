/** Access rules: read a card each, written as text, tried on statements, put in force; their versions; who reaches what. */
import { Button, Tabs, Text as Words } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';

import type * as calls from '../../api/calls';
import { rulesQuery, useRights } from '../../queries';
import { Fetched } from '../../ui/Fetched';
import { Page } from '../../ui/Page';
import { Time } from '../../ui/Time';
import { Visible } from '../../ui/Visible';
import { AddRule } from './AddRule';
import { Cards } from './Cards';
import { readDocument } from './document';
import { History } from './History';
import { Reach } from './Reach';
import { Text } from './Text';
import { useDraft } from './useDraft';

const route = getRouteApi('/signed-in/shell/rules');

export function Rules() {
  const rules = useQuery(rulesQuery);
  if (rules.data) return <Loaded inForce={rules.data} />;
  return (
    <Page title="Rules">
      <Fetched query={rules}>{() => null}</Fetched>
    </Page>
  );
}

function Loaded({ inForce }: { inForce: calls.Rules }) {
  const { manages } = useRights();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const draft = useDraft(inForce);
  const [adding, setAdding] = useState(false);
  const show = (view: View | undefined, session = search.session) => void navigate({ search: { view, session }, replace: true });
  const take = (text: string) => {
    draft.write(text);
    draft.compare(text);
    setAdding(false);
    show('text');
  };
  const { rules, break_glass } = readDocument(inForce.document);
  return (
    <Page
      title="Rules"
      about={<About inForce={inForce} />}
      actions={manages ? <Button onClick={() => setAdding(true)}>Add a rule</Button> : null}
    >
      <Tabs value={search.view ?? 'cards'} onChange={(view) => show(viewOf(view))} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="cards">Rules</Tabs.Tab>
          <Tabs.Tab value="text">{draft.isChanged ? 'Text, changed' : 'Text'}</Tabs.Tab>
          <Tabs.Tab value="history">History</Tabs.Tab>
          <Tabs.Tab value="reach">Reach</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="cards">
          <Cards document={inForce.document} />
        </Tabs.Panel>
        <Tabs.Panel value="text">
          <Text draft={draft} manages={manages} session={search.session} onSessionClosed={() => void navigate({ search: { view: 'text' }, replace: true })} />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <History current={inForce.version} onTake={manages ? take : undefined} />
        </Tabs.Panel>
        <Tabs.Panel value="reach">
          <Reach
            question={search.question ?? 'connection'}
            connection={search.connection}
            person={search.person}
            onAsk={(question, about) =>
              void navigate({
                search:
                  question === 'connection'
                    ? { view: 'reach', connection: about }
                    : { view: 'reach', question, person: about },
                replace: true,
              })
            }
          />
        </Tabs.Panel>
      </Tabs>
      {adding ? (
        <AddRule
          text={draft.text}
          taken={[...rules, ...break_glass].map(({ name }) => name)}
          onAdd={take}
          onClose={() => setAdding(false)}
        />
      ) : null}
    </Page>
  );
}

type View = 'text' | 'history' | 'reach';

function viewOf(value: string | null): View | undefined {
  return value === 'text' || value === 'history' || value === 'reach' ? value : undefined;
}

function About({ inForce }: { inForce: calls.Rules }) {
  if (inForce.version === 0) return 'Who may open what, on which conditions. None were written yet.';
  return (
    <>
      Who may open what, on which conditions. Version {inForce.version}
      {inForce.author ? ` by ${inForce.author}` : ''}
      {inForce.created_at ? (
        <>
          , <Time at={inForce.created_at} />
        </>
      ) : null}
      {inForce.note ? (
        <Words component="span" inherit>
          : <Visible text={inForce.note} oneLine />
        </Words>
      ) : null}
    </>
  );
}
