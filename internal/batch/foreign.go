package batch

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// addForeign adds rows whose task belongs to another batch or a single job. They stay until the record of their
// verification_id is final.
func (s *ProgressStore) addForeign(ctx context.Context, id string, rows []*Row) error {
	return changeForeign(ctx, s.redis.SAdd, id, rows)
}

// dropForeign removes rows that addForeign added.
func (s *ProgressStore) dropForeign(ctx context.Context, id string, rows []*Row) error {
	return changeForeign(ctx, s.redis.SRem, id, rows)
}

func changeForeign(
	ctx context.Context, change func(ctx context.Context, key string, members ...any) *redis.IntCmd, id string, rows []*Row,
) error {
	if len(rows) == 0 {
		return nil
	}
	members := make([]any, len(rows))
	for i, r := range rows {
		members[i] = fmt.Sprintf("%d/%d", r.Item.Row, r.run)
	}
	return progressError(id, change(ctx, foreignKey(id), members...).Err())
}

// foreign returns at most limit rows that addForeign added, at random.
func (s *ProgressStore) foreign(ctx context.Context, id string, limit int) ([]Rerun, error) {
	members, err := s.redis.SRandMemberN(ctx, foreignKey(id), int64(limit)).Result()
	if err != nil {
		return nil, progressError(id, err)
	}
	rows := make([]Rerun, 0, len(members))
	for _, m := range members {
		var r Rerun
		if _, err := fmt.Sscanf(m, "%d/%d", &r.Row, &r.Run); err == nil && r.Row > 0 && r.Run > 0 {
			rows = append(rows, r)
		}
	}
	return rows, nil
}
