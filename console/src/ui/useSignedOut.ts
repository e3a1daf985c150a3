/** Leads to the sign-in page once any call says that the sign-in is over (ended, expired, locked), and back afterwards. */
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';

import { needsSignIn } from '../api/problem';
import { safeReturnPath } from '../lib/returnPath';

export function useSignedOut(): void {
  const cache = useQueryClient();
  const navigate = useNavigate();
  useEffect(() => {
    let leaving = false;
    const look = (error: unknown) => {
      if (leaving || !needsSignIn(error)) return;
      leaving = true;
      const here = window.location.pathname + window.location.search;
      const back = safeReturnPath(here, window.location.origin);
      void navigate({ to: '/login', search: { return: back } }).then(() => cache.clear());
    };
    const ends = [
      cache.getQueryCache().subscribe((event) => look(event.query.state.error)),
      cache.getMutationCache().subscribe((event) => look(event.mutation?.state.error)),
    ];
    return () => ends.forEach((end) => end());
  }, [cache, navigate]);
}
